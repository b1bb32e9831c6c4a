# Token: what the node has to show once it has given up the ticket of its boot. Both are in /run/muster, root's alone.

# get_token: exchanges the ticket for the token, unless that was done. Fails when it has to be tried again.
get_token() {
  [ ! -s "$MUSTER_RUN/token" ] || return 0
  [ -s "$MUSTER_RUN/ticket" ] || return 1
  # shellcheck disable=SC2034 # both are read by ask
  CREDENTIAL=$MUSTER_RUN/ticket BODY=/dev/null
  ask POST /self/token 8
  unset CREDENTIAL
  if [ "$STATUS" = 201 ] && is_token "$(head -c 128 "$ANSWER/body")"; then
    (umask 077 && head -n 1 "$ANSWER/body" >"$MUSTER_RUN/token.new") && mv -f "$MUSTER_RUN/token.new" "$MUSTER_RUN/token"
    _result=$?
  else
    [ "$STATUS" = 000 ] || warn "the head node gives no token for the ticket of this boot: status $STATUS $(answer_message)"
    _result=1
  fi
  forget_answer
  return "$_result"
}

# get_token_in_time: during the boot, which does not wait twice for a head node that is down.
get_token_in_time() {
  [ -e "$MUSTER_RUN/offline" ] || get_token || :
}

# is_token TEXT
is_token() {
  case ${1#muster_agent_} in
    "$1" | '' | *[!0-9a-f]*) return 1 ;;
  esac
  [ "${#1}" -eq 77 ]
}
