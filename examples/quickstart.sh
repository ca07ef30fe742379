#!/bin/sh
# A device registers, a message is sent, and what became of it: with curl alone.
# Needs CLARION_KEY; CLARION_URL is http://127.0.0.1:8080 unless set.
set -eu
: "${CLARION_URL:=http://127.0.0.1:8080}"

call() { # method path [body]
    curl --silent --show-error --fail-with-body --request "$1" "$CLARION_URL$2" \
        --header "Authorization: Bearer $CLARION_KEY" \
        ${3:+--header 'Content-Type: application/json' --data "$3"}
    echo
}

echo "1. Ada's phone registers:"
call POST /v1/devices '{"network": "fcm", "token": "ada-phone", "external_id": "ada",
    "platform": "phone", "language": "en", "time_zone": "Europe/London"}'

echo "2. A message to Ada:"
answer=$(call POST /v1/messages '{"to": {"users": ["ada"]}, "title": "Hello", "body": "It works."}')
echo "$answer"
id=$(echo "$answer" | sed 's/.*"id":"\([^"]*\)".*/\1/')

echo "3. What became of it:"
call GET "/v1/messages/$id"

echo "4. Why Ada got it, or not:"
call GET "/v1/messages/$id/recipients/ada"
