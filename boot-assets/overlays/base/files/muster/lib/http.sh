# HTTP: the one way to speak to the head node, with what the image has: curl, GNU wget, or nc where it is plain http.
# The token (until there is one, the ticket) goes from its file into a pipe or another file: it is never an argument,
# which every process of the node could read.

# Where an answer is put: the files `head` and `body` of this folder.
ANSWER=${ANSWER:-$MUSTER_RUN/http.$$}
# Source ports that only root may use, as proof that root asks. Not below 665: a BMC that shares the node's port takes
# what comes to 623 and 664 (ASF 2.0 §3.2.1), and the kernel's NFS client begins there too (sunrpc.min_resvport).
LOWEST_PORT=665
HIGHEST_PORT=1023
# Blocks of 512 bytes: no answer fills the node's memory, whatever it says of its length.
MOST_BLOCKS=524288

# credential: the file with what proves which node this is.
credential() {
  if [ -s "$MUSTER_RUN/token" ]; then
    printf '%s\n' "$MUSTER_RUN/token"
  else
    printf '%s\n' "$MUSTER_RUN/ticket"
  fi
}

have_nc() {
  have nc || { have busybox && busybox nc --help >/dev/null 2>&1; }
}

# busybox wget takes headers as arguments only, so it cannot keep a secret.
have_wget() {
  have wget && wget --version 2>/dev/null | grep -q 'GNU Wget'
}

# http_tool: what this URL is asked with. wget cannot choose its port, so where that counts nc comes first.
http_tool() {
  if have curl; then
    echo curl
    return
  fi
  case $_url in
    http:*) _nc=$(have_nc && echo nc) ;;
    *) _nc= ;;
  esac
  if [ -n "$_nc" ] && [ "${LOW_PORT:-no}" = yes ]; then
    echo nc
  elif have_wget; then
    echo wget
  elif [ -n "$_nc" ]; then
    echo nc
  else
    return 1
  fi
}

# ask METHOD PATH SECONDS [HEADER…]: STATUS becomes the answer's status, 000 when none came whole. Variables say the
# rest: BODY is the file that a POST carries, CREDENTIAL another file than usual, LOW_PORT=yes for a port of root's. Fails
# when the image has nothing to ask with.
ask() {
  _method=$1
  _url=$(setting head)$2
  _seconds=$3
  shift 3
  STATUS=000
  _credential=${CREDENTIAL:-$(credential)}
  [ -r "$_credential" ] || return 0
  rm -rf "$ANSWER"
  (umask 077 && mkdir -p "$ANSWER" && : >"$ANSWER/head" && : >"$ANSWER/body") 2>/dev/null || {
    warn "cannot write to $ANSWER"
    return 0
  }
  _tool=$(http_tool) || return 1
  "ask_$_tool" "$@"
  case $STATUS in
    [1-5][0-9][0-9]) is_whole || STATUS=000 ;;
    *) STATUS=000 ;;
  esac
}

# is_whole: the body is as long as its head says. That of an error is for people, and other servers' may have no length.
is_whole() {
  case $STATUS in
    200 | 201) ;;
    *) return 0 ;;
  esac
  _length=$(answer_header content-length)
  [ "${_length:-none}" = "$(wc -c <"$ANSWER/body" | tr -d ' ')" ]
}

# answer_header NAME: the value of a header, name and value in lower case; nothing when there is none.
answer_header() {
  tr -d '\r' <"$ANSWER/head" | tr '[:upper:]' '[:lower:]' | sed -n "s/^ *$1: *//p" | tail -n 1
}

# answer_message: what went wrong, in the head node's words.
answer_message() {
  head -c 4096 "$ANSWER/body" | LC_ALL=C tr -cd '\040-\176' | sed -n 's/.*"message":"\(\([^"\\]\|\\.\)*\)".*/\1/p' | sed 's/\\\(.\)/\1/g'
}

forget_answer() {
  rm -rf "$ANSWER"
}

# As many arguments as there are headers, each behind an option.
ask_curl() {
  _headers=$#
  while [ "$_headers" -gt 0 ]; do
    set -- "$@" --header "$1"
    shift
    _headers=$((_headers - 1))
  done
  [ "$_method" = GET ] || set -- "$@" --data-binary "@${BODY:-/dev/null}"
  if [ "${LOW_PORT:-no}" = yes ]; then
    run_curl --local-port "$LOWEST_PORT-$HIGHEST_PORT" "$@"
    # 45: no such port is to be had. What is not private is given to any.
    [ "$_result" -eq 45 ] || return 0
  fi
  run_curl "$@"
}

run_curl() {
  STATUS=$(
    ulimit -f "$MOST_BLOCKS"
    sed 's/.*/header = "Authorization: Bearer &"/' "$_credential" |
      curl -q --config - --silent --globoff --noproxy '*' --connect-timeout 5 --max-time "$_seconds" \
        --dump-header "$ANSWER/head" --output "$ANSWER/body" --write-out '%{http_code}' --request "$_method" \
        "$@" "$_url" 2>/dev/null
  )
  _result=$?
  [ "$_result" -eq 0 ] || STATUS=000
}

# wget wants its settings in a regular file. It ends with 8 when the status was an error, with 6 when that was 401.
ask_wget() {
  _headers=$#
  while [ "$_headers" -gt 0 ]; do
    set -- "$@" "--header=$1"
    shift
    _headers=$((_headers - 1))
  done
  [ "$_method" = GET ] || set -- "$@" "--post-file=${BODY:-/dev/null}"
  sed 's/.*/header = Authorization: Bearer &/' "$_credential" >"$ANSWER/settings"
  (
    ulimit -f "$MOST_BLOCKS"
    bounded "$_seconds" wget --config="$ANSWER/settings" --no-proxy --no-http-keep-alive --tries=1 --timeout=10 --max-redirect=0 \
      --content-on-error --server-response --output-file="$ANSWER/head" --output-document="$ANSWER/body" "$@" "$_url"
  )
  case $? in
    0 | 6 | 8) STATUS=$(sed -n 's/^ *HTTP\/[0-9.]* \([0-9]*\).*/\1/p' "$ANSWER/head" | tail -n 1) ;;
  esac
  rm -f "$ANSWER/settings"
}

# HTTP/1.0, so that the answer ends with the connection (RFC 1945).
ask_nc() {
  _rest=${_url#*://}
  _authority=${_rest%%/*}
  _name=${_authority%:*}
  case $_authority in
    *]) _name=$_authority _port=80 ;;
    *:*) _port=${_authority##*:} ;;
    *) _port=80 ;;
  esac
  _name=${_name#[}
  _name=${_name%]}
  {
    printf '%s /%s HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer ' "$_method" "${_rest#*/}" "$_authority"
    tr -d '\r\n' <"$_credential"
    printf '\r\n'
    [ "$#" -eq 0 ] || printf '%s\r\n' "$@"
    if [ "$_method" != GET ]; then
      printf 'Content-Type: application/json\r\nContent-Length: %s\r\n' "$(wc -c <"${BODY:-/dev/null}" | tr -d ' ')"
    fi
    printf '\r\n'
    [ "$_method" = GET ] || cat "${BODY:-/dev/null}"
  } >"$ANSWER/request"
  _tries=0
  if [ "${LOW_PORT:-no}" = yes ]; then
    while [ "$_tries" -lt 10 ]; do
      run_nc -p "$(random "$LOWEST_PORT" "$HIGHEST_PORT")" "$_name" "$_port"
      grep -qi 'bind\|in use\|denied' "$ANSWER/errors" || break
      _tries=$((_tries + 1))
    done
    [ "$_tries" -eq 10 ] || _tries=0
  fi
  if [ "${LOW_PORT:-no}" != yes ] || [ "$_tries" -gt 0 ]; then
    run_nc "$_name" "$_port"
  fi
  split_answer
  rm -f "$ANSWER/request" "$ANSWER/whole"
}

# run_nc ARGUMENT…: what goes into nc ends only when the answer is whole: a server may take the end of the request's stream
# for a client that has gone, and OpenBSD's nc does not end before its input does.
run_nc() {
  _nc='nc'
  have nc || _nc='busybox nc'
  rm -f "$ANSWER/ended"
  : >"$ANSWER/whole"
  # Two words where nc is an applet.
  # shellcheck disable=SC2086
  {
    cat "$ANSWER/request"
    await_answer "$_seconds"
  } | {
    ulimit -f "$MOST_BLOCKS"
    bounded "$_seconds" $_nc "$@" 2>"$ANSWER/errors"
    : >"$ANSWER/ended"
  } >"$ANSWER/whole"
}

# await_answer SECONDS: until nc has ended, or the answer is whole.
await_answer() {
  _waits=0
  _size=0
  until [ -e "$ANSWER/ended" ] || [ "$_waits" -ge $(($1 * 10)) ]; do
    _before=$_size
    _size=$(wc -c <"$ANSWER/whole")
    if [ "$_size" -gt 0 ] && [ "$_size" -eq "$_before" ] && is_all_there "$_size"; then
      return
    fi
    _waits=$((_waits + 1))
    sleep 0.1 2>/dev/null || {
      sleep 1
      _waits=$((_waits + 9))
    }
  done
}

# is_all_there SIZE: whether the answer of that many bytes has its head, and a body as long as that says.
is_all_there() {
  _cr=$(printf '\r')
  sed "/^$_cr*\$/q" "$ANSWER/whole" >"$ANSWER/head"
  [ -z "$(tail -n 1 "$ANSWER/head" | tr -d '\r\n')" ] || return 1
  _length=$(answer_header content-length)
  [ "$1" -ge $(($(wc -c <"$ANSWER/head") + ${_length:-0})) ] || grep -q '^HTTP/[0-9.]* [23]04' "$ANSWER/head"
}

# split_answer: head and body, at the first line that is empty. The body may be of any bytes.
split_answer() {
  _cr=$(printf '\r')
  sed "/^$_cr*\$/q" "$ANSWER/whole" >"$ANSWER/head"
  tail -c +$(($(wc -c <"$ANSWER/head") + 1)) "$ANSWER/whole" >"$ANSWER/body"
  STATUS=$(sed -n '1s/^HTTP\/[0-9.]* \([0-9]*\).*/\1/p' "$ANSWER/head")
}
