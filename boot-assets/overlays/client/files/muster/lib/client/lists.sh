# Lists: what the head node wants of the node, as text. The format is in the head node's src/overlays/tree.ts:
#
#     muster-overlay 1
#     action 1 unit chronyd.service
#     action 2 argv /usr/sbin/postmap
#     d 0755 0 0 - - /etc/chrony.d                 TYPE MODE UID GID DIGEST ACTIONS PATH
#     f 0644 0 0 HEX 1,2 /etc/chrony.d/site.conf   HEX: sha256 of the content, of a link of its target
#     l 0777 0 0 HEX - /etc/localtime
#     r - - - - - /etc/motd.d/cockpit
#
# A list that has anything else in it is refused as a whole.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

_id='[0-9]{1,10} [0-9]{1,10}'
_hex='[0-9a-f]{64}'
_actions='(-|[0-9]+(,[0-9]+)*)'
LIST_GRAMMAR="^(action [0-9]+ (unit [A-Za-z0-9@:_.\\\\-]+|argv .*)|d [0-7]{3,5} $_id - $_actions /.+|[fl] [0-7]{3,5} $_id $_hex $_actions /.+|r - - - - $_actions /.+)\$"

# list_fault FILE: says what is wrong with a list; fails when nothing is.
list_fault() {
  if [ "$(head -n 1 "$1")" != 'muster-overlay 1' ]; then
    echo 'it does not begin with "muster-overlay 1": this client is too old for the head node, or it is no list'
  elif [ -n "$(tail -c 1 "$1" | tr -d '\n')" ]; then
    echo 'its last line has no end'
  elif [ "$(LC_ALL=C tr -d '\n\040-\176\200-\377' <"$1" | wc -c)" -ne 0 ]; then
    echo 'it has control characters in it'
  elif _line=$(tail -n +2 "$1" | grep -Evn "$LIST_GRAMMAR" | head -n 1) && [ -n "$_line" ]; then
    echo "line $((${_line%%:*} + 1)) is not understood: ${_line#*:}"
  elif _line=$(listed_paths dflr "$1" | grep -E '//|/$|/\.\.?(/|$)' | head -n 1) && [ -n "$_line" ]; then
    echo "a path of it has empty parts, . or ..: $_line"
  elif _line=$(listed_paths dflr "$1" | sort | uniq -d | head -n 1) && [ -n "$_line" ]; then
    echo "it has a path twice: $_line"
  else
    return 1
  fi
}

# entries FILE: its entries, each with the number of its line before and a | behind, because read takes blanks from the end
# of a path.
entries() {
  [ ! -r "$1" ] || grep -n '^[dflr] ' "$1" | sed 's/:/ /; s/$/|/'
}

# action NUMBER FILE: the lines of an action of a list, without its number.
action() {
  sed -n "s/^action $1 \\(unit\\|argv\\) /\\1 /p" "$2"
}

# is_line TEXT LINES: whether it is one of the lines, which are few.
is_line() {
  case "
$2
" in
    *"
$1
"*) return 0 ;;
  esac
  return 1
}
