# Fetch: lists and contents from the head node. Nothing that is not what its digest says gets any further.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

# get_list LIST: ends with 0 when there is another one, in $STATE/new; with 3 when it is as it was; with 1, and TROUBLE or
# FAILURE says why, when it was not to be had. Where private files are refused and the node has none yet, it is the list of
# the public ones, and LACKING says so. From a node that has some they would only go.
get_list() {
  PRIVATE=no
  ask_list "$1" || nothing_to_ask_with || return 1
  if [ "$STATUS" = 403 ] && [ "$(kept "private.$1")" != yes ]; then
    LACKING=$(refusal)
    ask_list "$1?private=no"
  fi
  case $STATUS in
    304)
      PRIVATE=$(kept "private.$1")
      return 3
      ;;
    200) [ -z "$(answer_header muster-private)" ] || PRIVATE=yes ;;
    *)
      explain "$1"
      return 1
      ;;
  esac
  _etag=$(answer_header etag | tr -d '"')
  if [ "$(sha256sum <"$ANSWER/body" | cut -c 1-64)" != "$_etag" ]; then
    FAILURE="the list of $1 overlays was altered on its way and is refused: it does not have the digest that its ETag says"
    return 1
  fi
  if _fault=$(list_fault "$ANSWER/body"); then
    FAILURE="the list of $1 overlays is refused: $_fault"
    return 1
  fi
  mv -f "$ANSWER/body" "$STATE/new" && DIGEST=$_etag
}

# ask_list LIST[?QUERY]: unless it is the one that the node has.
ask_list() {
  _digest=$(list_digest "${1%%\?*}")
  LOW_PORT=yes
  if [ -n "$_digest" ]; then
    ask GET "/self/overlays/$1" 60 "If-None-Match: \"$_digest\""
  else
    ask GET "/self/overlays/$1" 60
  fi
  _asked=$?
  LOW_PORT=
  return "$_asked"
}

# refusal: of private files, and what is to be done.
refusal() {
  _way=
  [ "$_tool" = curl ] || _way=". This image has no curl, and $_tool often cannot choose a port of root's: put curl into the image"
  printf '%s\n' "private files were refused: $(answer_message)$_way"
}

nothing_to_ask_with() {
  FAILURE='this image has no curl or GNU wget, nor nc for a plain http head node: overlays cannot be brought up to date (package curl)'
  return 1
}

# explain LIST: why an answer is none. TROUBLE is what time mends, FAILURE what somebody has to.
explain() {
  case $STATUS in
    000) TROUBLE="no whole answer from $(setting head)" ;;
    429 | 503)
      TROUBLE="the head node is busy (status $STATUS)"
      RETRY_AFTER=$(answer_header retry-after)
      ;;
    401) forget_token ;;
    403) FAILURE=$(refusal) ;;
    5??) TROUBLE="the head node cannot answer for $1 overlays: status $STATUS $(answer_message)" ;;
    *) FAILURE="the head node does not give the $1 overlays: status $STATUS $(answer_message)" ;;
  esac
}

# forget_token: one that the head node does not know is exchanged again, while there is a ticket for it.
forget_token() {
  if [ -s "$MUSTER_RUN/token" ] && [ -s "$MUSTER_RUN/ticket" ]; then
    rm -f "$MUSTER_RUN/token"
    TROUBLE='the head node does not know the token of this node: asking for another one'
  else
    FAILURE="the head node does not know this node's token any more, perhaps because it has booted since: reboot this node"
  fi
}

# fetch_contents: of all that is wanted, into $STATE/fetch/LIST/LINE. Ends with 2 when the list is another one by now.
fetch_contents() {
  rm -rf "$STATE/fetch"
  mkdir -p "$STATE/fetch/system" "$STATE/fetch/runtime" || return 1
  for _source in system runtime; do
    if [ "$_source" = "$LIST" ]; then
      fetch_from "$_source" "$DIGEST" || return
    else
      fetch_from "$_source" "$(list_digest "$_source")"
      case $? in
        0) ;;
        2) give_up "$_source" ;;
        *) return 1 ;;
      esac
    fi
  done
}

# give_up LIST: what is of the system overlays again, when these are others by now than those of this boot.
give_up() {
  grep "^$1$TAB" "$WORK/wanted" | cut -f 8 | while IFS= read -r _path; do
    say "$_path is of no runtime overlay any more, and the system overlays have changed since this boot: it is left until the next one"
  done
  grep -v "^$1$TAB" "$WORK/wanted" >"$WORK/wanted.rest"
  mv -f "$WORK/wanted.rest" "$WORK/wanted"
}

# fetch_from LIST DIGEST: in requests of a length that any proxy takes.
fetch_from() {
  grep "^$1$TAB" "$WORK/wanted" | cut -f 2 | sort -n >"$STATE/fetch/numbers"
  _query=
  _numbers=
  _first=
  _last=
  while read -r _number; do
    if [ -n "$_last" ] && [ "$_number" -eq $((_last + 1)) ]; then
      _last=$_number
    else
      end_range
      if [ "${#_query}" -gt 1000 ]; then
        fetch_lines "$1" "$2" || return
      fi
      _first=$_number
      _last=$_number
    fi
    _numbers="$_numbers $_number"
  done <"$STATE/fetch/numbers"
  end_range
  [ -z "$_query" ] || fetch_lines "$1" "$2" || return
  check_contents "$1"
}

end_range() {
  [ -n "$_first" ] || return 0
  if [ "$_first" = "$_last" ]; then
    _query="$_query,$_first"
  else
    _query="$_query,$_first-$_last"
  fi
  _first=
}

# fetch_lines LIST DIGEST: those of $_query. Taken out of the archive one by one and by name, through a pipe: whatever else
# is in it touches nothing.
fetch_lines() {
  _whole=$(kept "private.$1")
  [ "$1" != "$LIST" ] || _whole=$PRIVATE
  _part='&private=no'
  [ "$_whole" != yes ] || _part=
  LOW_PORT=yes
  ask GET "/self/overlays/$1/archive?lines=${_query#,}$_part" 300 "If-Match: \"$2\""
  LOW_PORT=
  case $STATUS in
    200) ;;
    412) return 2 ;;
    *)
      explain "$1"
      return 1
      ;;
  esac
  for _member in $_numbers; do
    tar -xOf "$ANSWER/body" "$_member" >"$STATE/fetch/$1/$_member" 2>/dev/null || :
  done
  _query=
  _numbers=
  step
}

# check_contents LIST: every digest.
check_contents() {
  grep "^$1$TAB" "$WORK/wanted" | while IFS=$TAB read -r _ _number _ _ _ _ _hex _; do
    printf '%s  %s\n' "$_hex" "$_number"
  done >"$STATE/fetch/sums"
  [ -s "$STATE/fetch/sums" ] || return 0
  (cd "$STATE/fetch/$1" && sha256sum -c "$STATE/fetch/sums") >"$STATE/fetch/checked" 2>/dev/null && return 0
  have tar || {
    FAILURE='this image has no tar to take contents out of archives with (package tar)'
    return 1
  }
  _number=$(grep -v ': OK$' "$STATE/fetch/checked" | head -n 1)
  _number=${_number%%:*}
  FAILURE="a download was altered or cut on its way and is refused: $(grep "^$1$TAB$_number$TAB" "$WORK/wanted" | cut -f 8) does not have the digest that the list says"
  return 1
}
