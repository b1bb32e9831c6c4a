# Asks the BMC and tells it; says what goes wrong.

# Seconds that one question may take.
LIMIT=${MUSTER_LIMIT:-30}

say() {
  echo "bmc: $*" >&2
}

fault() {
  say "$*"
  faults=$((faults + 1))
}

have() {
  command -v "$1" >/dev/null 2>&1
}

# wanted KEY
wanted() {
  sed -n "s/^$1=//p" "$MUSTER/bmc"
}

# ipmi ARGUMENT…: bounded, because a BMC that hangs must not keep the node from booting; and without a terminal, because
# ipmitool asks for passwords there, and reads its input where there is none (getpass(3)).
ipmi() {
  set -- ipmitool -I open "$@"
  ! have timeout || set -- timeout "$LIMIT" "$@"
  ! have setsid || set -- setsid "$@"
  "$@"
}

# field NAME TEXT: the first line "NAME : value" of the text.
field() {
  printf '%s\n' "$2" | sed -n "s/^ *$1 *: *//p" | sed -n '1s/ *$//p'
}

# change WHAT ARGUMENT…
change() {
  _what=$1
  shift
  if _said=$(ipmi "$@" 2>&1); then
    say "set $_what"
  else
    fault "cannot set $_what: $(printf '%s\n' "$_said" | tail -n 1)"
    return 1
  fi
}
