#!/bin/sh
# Protects an API with the program that ./demo has built, as README says. Prints each command that is typed, and the time
# from the first one to the first response. Needs only what a minimal Debian has, and curl.
set -eu
PATH=$PWD/target/release:$PATH
cd "$(mktemp -d)"

# The user's API.
perl -MIO::Socket::INET -e '
    my $api = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 3000, Listen => 5) or die $@;
    while (my $client = $api->accept) {
        while (<$client>) { last if /^\r?$/ }
        print $client "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
        close $client;
    }' &

status() { curl --silent --output /dev/null --write-out '%{http_code}' "$@" http://127.0.0.1:8080/; }

begin=$(date +%s%3N)
echo 'typed: gatepost up --upstream http://127.0.0.1:3000'
gatepost up --upstream http://127.0.0.1:3000 >up.log 2>&1 &
until curl --silent --fail --output /dev/null http://127.0.0.1:9464/readyz; do
    kill -0 $! 2>/dev/null || { cat up.log; exit 1; }
    sleep 0.05
done
echo 'typed: gatepost key create --name Jane'
key=$(gatepost key create --name Jane)
with=$(status --header "x-api-key: $key") without=$(status)
end=$(date +%s%3N)
[ "$with $without" = '200 401' ] || { echo "with the key $with, without $without"; exit 1; }
echo "first 200 after $((end - begin)) ms and two commands"
