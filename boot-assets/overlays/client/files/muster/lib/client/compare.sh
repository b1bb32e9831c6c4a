# Compare: what a list asks for against what is on the node. Only what differs is fetched and touched.
#
# The folder $WORK has what is to be done, in files of lines whose fields are parted by tabs:
#
#     wanted   SOURCE LINE TYPE MODE UID GID HEX PATH   files and links whose content is to be fetched from that list
#     dirs, attributes, removals, clears, early, left   OPERATION MODE UID GID TEMPORARY PATH, - for what it has not
#     actions  numbers of the new list's actions;  actions.old  of those of the list before
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

ROOT=${MUSTER_ROOT:-}
WORK=$STATE/prepare

# compare LIST FILE: LIST is system or runtime, FILE what it is to be. Fails, having said why, when it cannot be.
compare() {
  LIST=$1
  NEW=$2
  OLD=$LISTS/$LIST
  rm -rf "$WORK"
  mkdir "$WORK" || return 1
  for _file in wanted dirs attributes removals clears early left actions actions.old there there.paths there.files; do
    : >"$WORK/$_file" || return 1
  done
  listed_paths dflr "$NEW" >"$WORK/paths"
  find_shadowed
  LEAVING=$(listed_paths dfl "$OLD" | without "$WORK/paths")
  RESTORED=
  [ "$LIST" != runtime ] || RESTORED=$(listed_paths dfl "$LISTS/system" | among "$LEAVING")
  LINKS=$(listed_paths l "$OLD" | among "$LEAVING")
  CLEARED=
  IMPLIED=
  REFUSED=
  entries "$NEW" >"$WORK/entries"
  compare_entries "$LIST" <"$WORK/entries"
  if [ -n "$RESTORED" ]; then
    entries "$LISTS/system" >"$WORK/entries"
    compare_entries system <"$WORK/entries"
  fi
  compare_present
  entries "$OLD" >"$WORK/entries"
  compare_leaving <"$WORK/entries"
  [ -z "$REFUSED" ]
}

# find_shadowed: runtime overlays lie above the system's, so what they have is theirs.
find_shadowed() {
  SHADOWED=
  [ "$LIST" != system ] || SHADOWED=$(listed_paths dflr "$LISTS/runtime" | among "$(cat "$WORK/paths")")
}

# without FILE: the lines read that are not in it.
without() {
  if [ -s "$1" ]; then
    grep -Fxv -f "$1"
  else
    cat
  fi
}

# among LINES: the lines read that are among these.
among() {
  [ -z "$1" ] || {
    printf '%s\n' "$1" >"$WORK/among"
    grep -Fx -f "$WORK/among"
  }
}

# note FILE FIELD…: a line of tabs.
note() {
  _to=$WORK/$1
  shift
  _line=$1
  shift
  for _field in "$@"; do
    _line=$_line$TAB$_field
  done
  printf '%s\n' "$_line" >>"$_to"
}

# compare_entries SOURCE: of the entries read, those that are there are put aside to be looked at together.
compare_entries() {
  while read -r number type mode uid gid hex actions path; do
    path=${path%|}
    if [ "$1" != "$LIST" ]; then
      is_line "$path" "$RESTORED" || continue
    elif [ -n "$SHADOWED" ] && is_line "$path" "$SHADOWED"; then
      continue
    fi
    case $type in
      d)
        if is_folder "$path"; then
          note there "$1" "$number" "$type" "$mode" "$uid" "$gid" "$hex" "$actions" "$path"
          printf '%s/.\n' "$ROOT$path" >>"$WORK/there.paths"
        else
          make_way "$path/"
          note dirs mkdir "$mode" "$uid" "$gid" - "$path"
          IMPLIED="$IMPLIED
$path"
          note_actions "$1" "$actions"
        fi
        ;;
      f | l)
        if is_folder "${path%/*}" && is_kind "$type" "$ROOT$path"; then
          note there "$1" "$number" "$type" "$mode" "$uid" "$gid" "$hex" "$actions" "$path"
          printf '%s\n' "$ROOT$path" >>"$WORK/there.paths"
          [ "$type" = l ] || printf '%s\n' "$ROOT$path" >>"$WORK/there.files"
        else
          want "$1" "$number" "$type" "$mode" "$uid" "$gid" "$hex" "$actions" "$path"
        fi
        ;;
      r)
        if exists "$ROOT$path"; then
          note removals remove - - - - "$path"
          note_actions "$1" "$actions"
        fi
        ;;
    esac
  done
}

exists() {
  [ -e "$1" ] || [ -L "$1" ]
}

# is_kind TYPE PATH: whether it is a file and no link to one, or a link.
is_kind() {
  case $1 in
    f) [ -f "$2" ] && [ ! -L "$2" ] ;;
    l) [ -L "$2" ] ;;
  esac
}

# note_actions SOURCE ACTIONS: what came back from the system's list runs no actions of this one.
note_actions() {
  [ "$1" = "$LIST" ] && [ "$2" != - ] || return 0
  printf '%s\n' "$2" | tr , '\n' >>"$WORK/actions"
}

# want SOURCE LINE TYPE MODE UID GID HEX ACTIONS PATH: its content is to be fetched.
want() {
  make_way "$9"
  if is_folder "${9%/*}" && [ -d "$ROOT$9" ] && [ ! -L "$ROOT$9" ]; then
    clear_folder "$9"
  fi
  note wanted "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$9"
  note_actions "$1" "$8"
}

# is_ours PATH: whether a file or link is as the list before had it.
is_ours() {
  entries "$OLD" >"$WORK/ours"
  while read -r _ _kind _ _ _ _hex _ _listed; do
    [ "${_listed%|}" = "$1" ] || continue
    is_kind "$_kind" "$ROOT$1" && [ "$(content_digest "$ROOT$1")" = "$_hex" ]
    return
  done <"$WORK/ours"
  return 1
}

# content_digest PATH: sha256 of a file's content, or of a link's target.
content_digest() {
  if [ -L "$1" ]; then
    readlink -n "$1" | sha256sum | cut -c 1-64
  else
    sha256sum <"$1" | cut -c 1-64
  fi
}

# compare_present: attributes and digests of all that is there, by one stat and one sha256sum for as many as go into a
# command. Where their lines do not add up, because something went meanwhile, everything is fetched.
compare_present() {
  [ -s "$WORK/there" ] || return 0
  of_each stat -c '%a %u %g' <"$WORK/there.paths" >"$WORK/there.stat"
  of_each sha256sum <"$WORK/there.files" | sed 's/^[^0-9a-f]//' | cut -c 1-64 >"$WORK/there.sums"
  add_up there.paths there.stat '- - -'
  add_up there.files there.sums -
  while IFS=$TAB read -r source number type mode uid gid hex actions path <&3 && read -r _mode _uid _gid <&4; do
    case $type in
      d) _hex=$hex ;;
      l) _hex=$(content_digest "$ROOT$path") ;;
      f) read -r _hex <&5 ;;
    esac
    if [ "$_hex" != "$hex" ]; then
      want "$source" "$number" "$type" "$mode" "$uid" "$gid" "$hex" "$actions" "$path"
    elif [ "$_uid" != "$uid" ] || [ "$_gid" != "$gid" ] || { [ "$type" != l ] && [ "$_mode" != "$(plain_mode "$mode")" ]; }; then
      if [ "$type" = f ] && ! is_roots "$ROOT${path%/*}/."; then
        # Not where somebody could put a link in its place meanwhile.
        want "$source" "$number" "$type" "$mode" "$uid" "$gid" "$hex" "$actions" "$path"
      else
        note attributes "attributes-$type" "$mode" "$uid" "$gid" - "$path"
        note_actions "$source" "$actions"
      fi
    fi
  done 3<"$WORK/there" 4<"$WORK/there.stat" 5<"$WORK/there.sums"
}

# of_each COMMAND…: of the paths read, one a line.
of_each() {
  tr '\n' '\000' | xargs -0 -r "$@" 2>/dev/null
}

# add_up ASKED ANSWERED NOTHING: a line for each, or nothing for all.
add_up() {
  [ "$(wc -l <"$WORK/$1")" -ne "$(wc -l <"$WORK/$2")" ] || return 0
  sed "s/.*/$3/" "$WORK/$1" >"$WORK/$2"
}

# is_roots FOLDER: whether nobody but root can write to it.
is_roots() {
  # shellcheck disable=SC2046 # two words
  set -- $(stat -c '%u %a' "$1")
  [ "$1" = 0 ] || return 1
  case $2 in
    *[2367]? | *[2367]) return 1 ;;
  esac
}

# plain_mode MODE: without the zeros before it, as stat prints it.
plain_mode() {
  _plain=${1#0}
  while [ "$_plain" != "${_plain#0}" ]; do
    _plain=${_plain#0}
  done
  echo "${_plain:-0}"
}

# compare_leaving: the entries read are those of the list before. What was changed on the node since is not ours to take.
compare_leaving() {
  while read -r number type mode uid gid hex actions path; do
    path=${path%|}
    is_line "$path" "$LEAVING" || continue
    ! is_line "$path" "$RESTORED" || continue
    if [ "$LIST" = system ] && listed_paths dflr "$LISTS/runtime" >"$WORK/above" && is_above "$path" "$WORK/above"; then
      continue
    fi
    [ "$type" != d ] || continue
    if ! is_line "$path" "$CLEARED" && ! grep -Fxq "leave$TAB-$TAB-$TAB-$TAB-$TAB$path" "$WORK/early"; then
      exists "$ROOT$path" || continue
      if ! is_kind "$type" "$ROOT$path" || [ "$(content_digest "$ROOT$path")" != "$hex" ]; then
        say "$path is of no overlay any more, but was changed on this node: it is left as it is"
        continue
      fi
      note left leave "$type" "$hex" - - "$path"
    fi
    [ "$actions" = - ] || printf '%s\n' "$actions" | tr , '\n' >>"$WORK/actions.old"
  done
}
