# Reports: what the head node is told, as JSON. Its numbers are KiB and seconds since the kernel started.

# string TEXT [LENGTH]: as a JSON string. What is not printable ASCII is left out, so that nothing needs \u.
string() {
  printf '"%s"' "$(printf %s "$1" | LC_ALL=C tr -cd '\040-\176' | cut -c "1-${2:-500}" | sed 's/[\\"]/\\&/g')"
}

# text KEY VALUE: left out when there is none.
text() {
  [ -z "$2" ] || printf ',"%s":%s' "$1" "$(string "$2" 4000)"
}

# member KEY VALUE: a number where it is one.
member() {
  case $2 in
    '' | *[!0-9]* | 0?* | ????????????????*) printf ',"%s":%s' "$1" "$(string "$2")" ;;
    *) printf ',"%s":%s' "$1" "$2" ;;
  esac
}

# list_digest LIST: of the overlays as they were applied last; nothing when the head node has sent no list.
list_digest() {
  [ ! -r "$MUSTER/overlays/$1" ] || sha256sum <"$MUSTER/overlays/$1" | cut -c 1-64
}

# state: what the node runs, for the reports that tell that it is up.
state() {
  _known=$(root_kib 2)
  [ -z "$_known" ] || member rootSizeKiB "$_known"
  if [ "$1" = ready ]; then
    _known=$(used_kib)
  else
    _known=$(root_kib 3)
  fi
  [ -z "$_known" ] || member rootUsedKiB "$_known"
  text image "$(setting imageDigest)"
  text kernel "$(uname -r)"
  _known=$(setting args)
  text args "${_known% }"
  text system "$(list_digest system)"
  text runtime "$(list_digest runtime)"
}

# body KIND [KEY=VALUE…]
body() {
  read -r _uptime _ </proc/uptime
  printf '{"kind":"%s","detail":{"uptime":%s' "$1" "$_uptime"
  member memTotalKiB "$(memory_kib MemTotal)"
  member memAvailableKiB "$(memory_kib MemAvailable)"
  member rootKind "$(setting root)"
  case $1 in
    ready | applied | alive) state "$1" ;;
  esac
  shift
  for _pair in "$@"; do
    case ${_pair%%=*} in
      '' | *[!A-Za-z]*) warn "report: not KEY=VALUE: $_pair" >&2 ;;
      *) member "${_pair%%=*}" "${_pair#*=}" ;;
    esac
  done
  printf '}}'
}

# send_report KIND [KEY=VALUE…]: one try. Ends with 0 when the head node has taken it, 1 when it was not reached, 2 when it
# refused, 3 when this image has nothing to send with.
send_report() {
  (umask 077 && body "$@" >"$MUSTER_RUN/report.$$")
  BODY=$MUSTER_RUN/report.$$
  ask POST /self/events 6 'Content-Type: application/json'
  _result=$?
  rm -f "$BODY"
  forget_answer
  [ "$_result" -eq 0 ] || return 3
  case $STATUS in
    2??) return 0 ;;
    400 | 401 | 403 | 404 | 410)
      warn "report: the head node refused it with status $STATUS"
      return 2
      ;;
    *) return 1 ;;
  esac
}
