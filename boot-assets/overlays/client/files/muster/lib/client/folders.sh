# Folders: what has to be made, or to make room, before a file can be where its list wants it.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

# is_folder PATH: a folder or a link to one, unless that link is of the list before and goes.
is_folder() {
  [ -d "$ROOT$1/" ] || return 1
  [ -n "$LINKS" ] || return 0
  printf '%s\n' "$LINKS" >"$WORK/links"
  while IFS= read -r _gone; do
    case $1/ in
      "$_gone"/*) return 1 ;;
    esac
  done <"$WORK/links"
}

# make_way PATH: the folders above it that are not there, and what stands in their place.
make_way() {
  ! is_folder "${1%/*}" || [ "${1%/}" != "$1" ] || return 0
  _rest=${1#/}
  _at=
  # Whether all further down is yet to be made.
  _fresh=no
  while [ "$_rest" != "${_rest#*/}" ]; do
    _at=$_at/${_rest%%/*}
    _rest=${_rest#*/}
    ! is_folder "$_at" || continue
    if is_line "$_at" "$IMPLIED"; then
      _fresh=yes
      continue
    fi
    if [ "$_fresh" = no ] && exists "$ROOT$_at"; then
      note clears clear - - - - "$_at"
      CLEARED="$CLEARED
$_at"
    fi
    _fresh=yes
    # The last one of PATH/ is the caller's to make.
    [ -n "$_rest" ] || continue
    note dirs mkdir "$(usual_mode "$_at")" 0 0 - "$_at"
    IMPLIED="$IMPLIED
$_at"
  done
}

# usual_mode PATH: of a folder that no overlay speaks of, as in the head node's src/overlays/path.ts.
usual_mode() {
  case $1 in
    /root) echo 0700 ;;
    /tmp | /var/tmp) echo 1777 ;;
    *) echo 0755 ;;
  esac
}

# clear_folder PATH: a folder in whose place a file or link is to be. It goes when all that is in it goes too.
clear_folder() {
  find "$ROOT$1" ! -type d >"$WORK/inside"
  while IFS= read -r _inside; do
    if is_line "${_inside#"$ROOT"}" "$LEAVING" && is_ours "${_inside#"$ROOT"}"; then
      note early leave - - - - "${_inside#"$ROOT"}"
    else
      REFUSED="$1 is to be a file or link, and is a folder with ${_inside#"$ROOT"} in it, which is not of the overlays: move that away"
      return
    fi
  done <"$WORK/inside"
  note early clear - - - - "$1"
  CLEARED="$CLEARED
$1"
}
