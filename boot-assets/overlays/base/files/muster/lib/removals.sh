# Removals: paths of the image that an overlay takes away: the lines `r - - - - - PATH` of /muster/overlays/*.

# remove_path PATH: the file, link or whole folder of that very name. Links above it are not followed, and what is
# mounted on it or in it stays. Fails, having said why, when it is still there.
remove_path() {
  case $1/ in
    //* | */../* | */./* | /muster/* | /run/* | /proc/* | /sys/* | /dev/*)
      warn "$1 is not taken away: no overlay may remove that"
      return 1
      ;;
    /*) ;;
    *) return 1 ;;
  esac
  _path=${MUSTER_ROOT:-}$1
  [ -e "$_path" ] || [ -L "$_path" ] || return 0
  _above=${1%/*}
  while [ -n "$_above" ]; do
    if [ -L "${MUSTER_ROOT:-}$_above" ]; then
      warn "$1 is not taken away: $_above is a link"
      return 1
    fi
    _above=${_above%/*}
  done
  if [ -L "$_path" ] || [ ! -d "$_path" ]; then
    rm -f "$_path"
  elif [ "$(stat -c %d "$_path")" = "$(stat -c %d "${_path%/*}/")" ]; then
    # What is mounted inside is left alone, and so are the folders above it. Not every busybox has -delete.
    find "$_path" -xdev ! -type d -exec rm -f '{}' +
    find "$_path" -xdev -depth -type d -exec rmdir '{}' +
  fi
  [ -e "$_path" ] || [ -L "$_path" ] || return 0
  warn "$1 could not be taken away: is something mounted there?"
  return 1
}

# listed_paths TYPES FILE: the paths of a list's lines of these types ("dfl"), one a line.
listed_paths() {
  [ ! -r "$2" ] || sed -n "s/^[$1] [^ ]* [^ ]* [^ ]* [^ ]* [^ ]* //p" "$2"
}

# is_above PATH FILE: whether the file, of one path a line, has the path or one below it.
is_above() {
  while IFS= read -r _other; do
    case $_other in
      "$1" | "$1"/*) return 0 ;;
    esac
  done <"$2"
  return 1
}

# remove_listed: the removals of both lists. The runtime overlays lie on top: what they have stays.
remove_listed() {
  _kept=$MUSTER_RUN/kept.$$
  listed_paths dfl "$MUSTER/overlays/runtime" >"$_kept"
  for _list in system runtime; do
    listed_paths r "$MUSTER/overlays/$_list" >"$_kept.removals"
    while IFS= read -r _gone; do
      if [ "$_list" = runtime ] || ! is_above "$_gone" "$_kept"; then
        remove_path "$_gone"
      fi
    done <"$_kept.removals"
  done
  rm -f "$_kept" "$_kept.removals"
}
