# Commands: what the image has, and how to bound what may hang.

# have COMMAND
have() {
  command -v "$1" >/dev/null 2>&1
}

# bounded SECONDS COMMAND…: the command's status, or 124 when it had to be ended.
bounded() {
  _seconds=$1
  shift
  if have timeout; then
    timeout "$_seconds" "$@"
    return
  fi
  # A command in the background would be given /dev/null to read.
  { "$@" <&3 3<&- & } 3<&0
  _child=$!
  while kill -0 "$_child" 2>/dev/null; do
    if [ "$_seconds" -le 0 ]; then
      kill "$_child" 2>/dev/null
      wait "$_child" 2>/dev/null
      return 124
    fi
    sleep 1
    _seconds=$((_seconds - 1))
  done
  wait "$_child"
}

# within SECONDS COMMAND…: asks once a second until the command succeeds; fails when the time is over.
within() {
  _left=$1
  shift
  until "$@"; do
    [ "$_left" -gt 0 ] || return 1
    sleep 1
    _left=$((_left - 1))
  done
}

# random LOW HIGH: a whole number between the two.
random() {
  read -r _uuid </proc/sys/kernel/random/uuid || _uuid=$$
  _uuid=${_uuid%%-*}
  echo $(($1 + 0x$_uuid % ($2 - $1 + 1)))
}
