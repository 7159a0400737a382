# Receives webhooks: responds 204 if the signature is valid and 401 if not. Ruby 3.0 or later and the gem webrick.
require 'json'
require 'openssl'
require 'webrick'

TOLERANCE_S = 5 * 60
MAX_BODY_BYTES = 1024 * 1024

KEY = ENV.fetch('WEBHOOK_SECRET', '').delete_prefix('whsec_').unpack1('m0')
abort 'set WEBHOOK_SECRET to the secret of the webhook: whsec_…' if KEY.empty?

def genuine?(request, body)
  id, timestamp, signatures = %w[webhook-id webhook-timestamp webhook-signature].map { |name| request[name].to_s }
  seconds = Integer(timestamp, 10, exception: false)
  return false if seconds.nil? || (Time.now.to_i - seconds).abs > TOLERANCE_S

  hmac = OpenSSL::HMAC.digest('SHA256', KEY, "#{id}.#{timestamp}.".b + body)
  expected = "v1,#{[hmac].pack('m0')}"
  # Two while the secret is being rotated.
  signatures.split.any? { |signature| OpenSSL.secure_compare(signature, expected) }
end

class Receiver < WEBrick::HTTPServlet::AbstractServlet
  def do_POST(request, response)
    # The signature is that of these bytes: parse them afterwards.
    body = ''.b
    request.body { |chunk| body << chunk if body.bytesize <= MAX_BODY_BYTES }
    return response.status = 401 unless genuine?(request, body)

    event = JSON.parse(body)
    # Do the work later: a response must come within 15 seconds. A repeated delivery has the same id.
    puts "#{event['id']} #{event['type']}"
    response.status = 204
  end
end

server = WEBrick::HTTPServer.new(BindAddress: '127.0.0.1', Port: ENV.fetch('PORT', '8080').to_i)
server.mount('/', Receiver)
%w[INT TERM].each { |signal| trap(signal) { server.shutdown } }
server.start
