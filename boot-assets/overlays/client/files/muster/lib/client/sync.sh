# Sync: a list of overlays, system or runtime, from what the node has to what the head node says.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

# sync LIST: ends with 0 when the node is as it should be. Otherwise TROUBLE or FAILURE says why not, and nothing of it is
# half done. CHANGED is the number of things that were changed.
sync() {
  CHANGED=0
  SAME=no
  _rounds=0
  while :; do
    get_list "$1"
    case $? in
      0) ;;
      3)
        keep "checked.$1" "$(now)"
        [ "${REPAIR:-no}" = yes ] || return 0
        SAME=yes
        cp "$LISTS/$1" "$STATE/new" || return 1
        DIGEST=$(list_digest "$1")
        ;;
      *) return 1 ;;
    esac
    step
    apply_list "$1"
    _result=$?
    [ "$_result" -eq 2 ] || return "$_result"
    _rounds=$((_rounds + 1))
    if [ "$_rounds" -ge 5 ]; then
      TROUBLE="the list of $1 overlays changes faster than it can be fetched"
      return 1
    fi
  done
}

# apply_list LIST: ends with 2 when it is another one by now.
apply_list() {
  if ! compare "$1" "$STATE/new"; then
    FAILURE=${REFUSED:-"cannot write to $STATE: is it full?"}
    discard
    return 1
  fi
  fetch_contents
  _fetched=$?
  if [ "$_fetched" -ne 0 ]; then
    discard
    [ "$_fetched" -eq 2 ] || [ -n "$FAILURE$TROUBLE" ] || FAILURE="cannot write to $STATE: is it full?"
    return "$_fetched"
  fi
  prepare || return 1
  commit || return 1
  keep "checked.$1" "$(now)"
  after_commit "$1"
}

# after_commit LIST
after_commit() {
  run_actions
  [ "$CHANGED" -gt 0 ] || [ "$SAME" = no ] || return 0
  keep "changed.$1" "$(now)"
  APPLIED="$APPLIED $1"
}

# resume: what a client began that was stopped. Asks nobody.
resume() {
  if [ -d "$STAGED" ]; then
    say 'going on with what was begun'
    SAME=no
    commit && after_commit "$LIST"
  elif [ -d "$WORK" ]; then
    discard
  fi
  run_actions
}
