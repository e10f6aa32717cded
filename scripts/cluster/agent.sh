#!/bin/sh
# A coding agent to play with in `npm run cluster`, as others are started: without words it waits for people, "acp" has it speak
# ACP, and anything else is its task, which it gives to its model.
case $1 in
  '')
    trap 'exit 0' TERM INT
    while :; do
      sleep 3600 &
      wait $!
    done
    ;;
  acp) exec sh /usr/local/lib/acp.sh ;;
esac
# A string of JSON: quotes and backslashes are escaped, and lines are one.
said=$(printf %s "$1" | tr '\n\t' '  ' | sed 's/["\\]/\\&/g')
body="{\"model\":\"a-model\",\"messages\":[{\"role\":\"user\",\"content\":\"$said\"}]}"
echo "task: $1"
exec wget -q -O - --header "authorization: Bearer $OPENAI_API_KEY" --header "content-type: application/json" \
  --post-data "$body" "$OPENAI_BASE_URL/chat/completions"
