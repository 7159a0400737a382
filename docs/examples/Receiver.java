// Receives webhooks: responds 204 if the signature is valid and 401 if not. Java 17 or later, no libraries.

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Receiver {
    static final long TOLERANCE_S = 5 * 60;
    static final int MAX_BODY_BYTES = 1024 * 1024;

    public static void main(String[] arguments) throws IOException {
        Map<String, String> environment = System.getenv();
        String secret = environment.getOrDefault("WEBHOOK_SECRET", "").replaceFirst("^whsec_", "");
        byte[] key = Base64.getDecoder().decode(secret);
        if (key.length == 0) {
            throw new IllegalArgumentException("set WEBHOOK_SECRET to the secret of the webhook: whsec_…");
        }
        int port = Integer.parseInt(environment.getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", exchange -> receive(key, exchange));
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }

    static void receive(byte[] key, HttpExchange exchange) throws IOException {
        try (exchange) {
            // The signature is that of these bytes: parse them afterwards.
            byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY_BYTES);
            if (!isGenuine(key, exchange.getRequestHeaders(), body)) {
                exchange.sendResponseHeaders(401, -1);
                return;
            }
            // Do the work later: a response must come within 15 seconds. A repeated delivery has the same id.
            System.out.println(new String(body, StandardCharsets.UTF_8));
            exchange.sendResponseHeaders(204, -1);
        } catch (GeneralSecurityException error) {
            throw new IOException(error);
        }
    }

    static boolean isGenuine(byte[] key, Headers headers, byte[] body) throws GeneralSecurityException {
        String id = Objects.requireNonNullElse(headers.getFirst("webhook-id"), "");
        String timestamp = Objects.requireNonNullElse(headers.getFirst("webhook-timestamp"), "");
        String signatures = Objects.requireNonNullElse(headers.getFirst("webhook-signature"), "");
        if (!isRecent(timestamp)) {
            return false;
        }
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        String text = "v1," + Base64.getEncoder().encodeToString(mac.doFinal(body));
        byte[] expected = text.getBytes(StandardCharsets.UTF_8);
        // Two while the secret is being rotated.
        for (String signature : signatures.split(" ")) {
            if (MessageDigest.isEqual(expected, signature.getBytes(StandardCharsets.UTF_8))) {
                return true;
            }
        }
        return false;
    }

    static boolean isRecent(String timestamp) {
        try {
            long sent = Long.parseLong(timestamp);
            long now = System.currentTimeMillis() / 1000;
            return sent >= now - TOLERANCE_S && sent <= now + TOLERANCE_S;
        } catch (NumberFormatException error) {
            return false;
        }
    }
}
