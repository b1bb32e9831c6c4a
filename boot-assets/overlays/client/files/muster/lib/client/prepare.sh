# Prepare: every new file beside the one that it will replace, with all that it is to be, before anything is replaced. What a
# full disk refuses is found here, and then all of it is taken back.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

# prepare: fails, having taken back what it made and with FAILURE set, when anything cannot be made.
prepare() {
  : >"$WORK/temporaries"
  : >"$WORK/made"
  : >"$WORK/places"
  if make_folders <"$WORK/dirs" && place_all <"$WORK/wanted" && write_plan; then
    return 0
  fi
  : "${FAILURE:=cannot write the new files: is the disk full?}"
  discard
  return 1
}

# discard: nothing of what was prepared stays.
discard() {
  [ -d "$WORK" ] || return 0
  if [ -r "$WORK/temporaries" ]; then
    while IFS= read -r _temporary; do
      rm -f "$_temporary"
    done <"$WORK/temporaries"
  fi
  if [ -r "$WORK/made" ]; then
    sort -r "$WORK/made" >"$WORK/made.reverse" 2>/dev/null
    while IFS= read -r _folder; do
      rmdir "$_folder" 2>/dev/null
    done <"$WORK/made.reverse"
  fi
  rm -rf "$WORK" "$LISTS/new"
}

# make_folders: those for which nothing has to go first.
make_folders() {
  while IFS=$TAB read -r _ mode _ _ _ path; do
    if is_folder "${path%/*}" && ! exists "$ROOT$path"; then
      printf '%s\n' "$ROOT$path" >>"$WORK/made" && mkdir -m "$mode" "$ROOT$path" && label "$ROOT$path" "$path" || return 1
      step
    fi
  done
}

place_all() {
  while IFS=$TAB read -r source number type mode uid gid hex path; do
    if _link=$(foreign_link "$path"); then
      FAILURE="$path is not written: the folder $_link above it is a link that is not root's"
      return 1
    fi
    temporary=$(temporary_for "$path" "$number") || return 1
    printf '%s\n' "$temporary" >>"$WORK/temporaries" || return 1
    rm -f "$temporary"
    if ! place "$STATE/fetch/$source/$number" "$temporary"; then
      FAILURE="cannot write $path: $(head -c 300 "$WORK/errors" | tr '\n' ' ')"
      return 1
    fi
    note places "place-$type" "$hex" - - "$temporary" "$path" || return 1
    step
  done
}

# foreign_link PATH: a folder above it that somebody else than root has made a link.
foreign_link() {
  _above=${1%/*}
  while [ -n "$_above" ]; do
    if [ -L "$ROOT$_above" ] && [ "$(stat -c %u "$ROOT$_above")" != 0 ]; then
      printf '%s\n' "$_above"
      return 0
    fi
    _above=${_above%/*}
  done
  return 1
}

# temporary_for PATH LINE: beside it; where that is not there yet or not root's alone, in the next folder above that is and is
# of the same file system. In a folder that somebody else can write to, they could put a link in the file's place while it is
# given its owner.
temporary_for() {
  _folder=${1%/*}
  _name=${1##*/}
  _hint=
  while ! is_folder "$_folder"; do
    _folder=${_folder%/*}
    _hint=.$2
  done
  _device=$(stat -c %d "$ROOT$_folder/.")
  while ! is_roots "$ROOT$_folder/." && [ -n "$_folder" ] && [ "$(stat -c %d "$ROOT${_folder%/*}/.")" = "$_device" ]; do
    _folder=${_folder%/*}
    _hint=.$2
  done
  # A name has room for 255 bytes.
  [ "${#_name}" -le 230 ] || _name=$2
  printf '%s\n' "$ROOT$_folder/.$_name$_hint.muster~"
}

# place CONTENT TEMPORARY: of the entry that was read; errors into $WORK/errors.
place() {
  case $type in
    f)
      # -C: never through a link that somebody laid there.
      (set -C && cat "$1" >"$2") && chown "$uid:$gid" "$2" && chmod "00$mode" "$2"
      ;;
    l)
      # The dot keeps line feeds at a target's end.
      _target=$(cat "$1" && echo .)
      ln -s -- "${_target%.}" "$2" && chown -h "$uid:$gid" "$2"
      ;;
  esac 2>"$WORK/errors" && label "$2" "$path"
}

# has_selinux: the programs of libselinux-utils are not in every image; the kernel says it, too.
has_selinux() {
  if have selinuxenabled; then
    selinuxenabled
  else
    [ -e "$ROOT/sys/fs/selinux/enforce" ]
  fi
}

# label TEMPORARY PATH: the SELinux context of the file that it replaces, or the one that the policy has for its path.
# Where nothing can say that, restorecon does it when the file is in its place.
label() {
  has_selinux || return 0
  if [ "$1" != "$ROOT$2" ] && [ "$type" = f ] && is_kind f "$ROOT$2"; then
    chcon --reference="$ROOT$2" "$1"
  elif have matchpathcon && _context=$(matchpathcon -n "$2"); then
    chcon -h "$_context" "$1"
  fi || warn "$2 keeps the SELinux context of its folder: chcon failed"
}

# label_in_place PATH: of one that is new.
label_in_place() {
  ! has_selinux || have matchpathcon || ! have restorecon || restorecon "$ROOT$1" || warn "$1 keeps the SELinux context of its folder: restorecon failed"
}

# write_plan: from here on it is known what to do without asking anybody. It comes to be with one rename.
write_plan() {
  cat "$WORK/early" "$WORK/clears" "$WORK/dirs" "$WORK/places" "$WORK/attributes" "$WORK/removals" "$WORK/left" >"$WORK/plan" &&
    : >"$WORK/done" && : >"$WORK/errors" && : >"$WORK/faults" &&
    cp "$NEW" "$LISTS/new" &&
    printf '%s\n' "$LIST" >"$WORK/list" &&
    printf '%s\n' "$DIGEST" >"$WORK/digest" &&
    printf '%s\n' "$PRIVATE" >"$WORK/private" &&
    write_actions &&
    rm -rf "$STATE/staged" &&
    mv "$WORK" "$STATE/staged" || return 1
  step
}

# write_actions: a file for each, in the order in which they are to run, none twice.
write_actions() {
  mkdir "$WORK/todo" || return 1
  [ "${ACTIONS:-yes}" = yes ] || return 0
  if grep -q "$TAB/\(etc\|run\|usr/lib\|usr/local/lib\)/systemd/system/" "$WORK/plan"; then
    echo 'reload systemd' >"$WORK/todo/100000" || return 1
  fi
  _next=200000
  for _from in "$NEW actions" "$OLD actions.old"; do
    sort -nu "$WORK/${_from##* }" >"$WORK/numbers"
    while read -r _number; do
      action "$_number" "${_from% *}" >"$WORK/todo/$_next" || return 1
      if [ ! -s "$WORK/todo/$_next" ] || is_known_action "$WORK/todo/$_next"; then
        rm -f "$WORK/todo/$_next"
      fi
      _next=$((_next + 1))
    done <"$WORK/numbers"
  done
}

is_known_action() {
  for _known in "$WORK"/todo/*; do
    [ "$_known" = "$1" ] || ! cmp -s "$_known" "$1" || return 0
  done
  return 1
}
