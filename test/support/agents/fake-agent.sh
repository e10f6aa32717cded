# A coding agent of ACP as far as tests look, for any shell: busybox' in a Box, this machine's in a unit test. What a prompt has
# in it says what it does: "ask", "wait", "count N", "big N", "exit", anything else is said again.
session=session-1
prompt=0
number() {
  id=${1#*\"id\":}
  id=${id%%[,\}]*}
}
result() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
chunk() {
  printf '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"%s","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"%s"}}}}\n' "$session" "$1"
}
ended() { result "$prompt" "{\"stopReason\":\"$1\"}"; }
echo "fake agent at $PWD" >&2
while IFS= read -r line; do
  case $line in
    *'"method":"initialize"'*)
      number "$line"
      result "$id" '{"protocolVersion":1,"agentCapabilities":{"loadSession":false},"agentInfo":{"name":"fake","version":"1"},"authMethods":[]}'
      ;;
    *'"method":"session/load"'*)
      number "$line"
      chunk "$(cat "$SESSIONS/$session")"
      result "$id" null
      ;;
    *'"method":"session/new"'*)
      number "$line"
      result "$id" "{\"sessionId\":\"$session\"}"
      ;;
    *'"method":"session/cancel"'*) ended cancelled ;;
    *'"id":"question-1"'*)
      case $line in
        *'"optionId":"yes"'*)
          echo written >made-by-an-agent.txt
          chunk "made it"
          ;;
        *) chunk "left it" ;;
      esac
      ended end_turn
      ;;
    *'"method":"session/prompt"'*)
      number "$line"
      prompt=$id
      case $line in
        *'"ask'*)
          printf '{"jsonrpc":"2.0","id":"question-1","method":"session/request_permission","params":{"sessionId":"%s","toolCall":{"toolCallId":"call-1","title":"write a file","kind":"edit"},"options":[{"optionId":"yes","name":"Allow","kind":"allow_once"},{"optionId":"no","name":"Reject","kind":"reject_once"}]}}\n' "$session"
          ;;
        *'"wait'*) chunk "waiting" ;;
        *'"count '*)
          most=${line#*\"count }
          most=${most%%\"*}
          at=0
          while [ "$at" -lt "$most" ]; do
            at=$((at + 1))
            chunk "$at "
            sleep 0.05
          done
          ended end_turn
          ;;
        *'"big '*)
          most=${line#*\"big }
          head -c "${most%%\"*}" /dev/zero | tr '\0' x
          echo
          ;;
        *'"exit'*)
          echo "no model answers" >&2
          exit 3
          ;;
        *)
          text=${line#*\"text\":\"}
          [ -z "$SESSIONS" ] || printf '%s, ' "${text%%\"*}" >>"$SESSIONS/$session"
          chunk "you said: ${text%%\"*}"
          ended end_turn
          ;;
      esac
      ;;
  esac
done
