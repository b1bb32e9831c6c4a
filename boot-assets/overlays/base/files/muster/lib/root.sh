# Root: moves what the kernel unpacked into a file system of its own. Each step can fail; then everything is undone, so
# that the next try finds what the first one found.

NEWROOT=/newroot
# Mounted by /init and moved along; never copied.
KERNEL_MOUNTS='dev proc sys run'

# mounted POINT
mounted() {
  while read -r _ _point _; do
    [ "$_point" != "$1" ] || return 0
  done </proc/mounts
  return 1
}

# tmpfs_limit_kib TAKEN: the setting, else half of the memory (the kernel's own default), else what the root needs with
# an eighth for what is written later.
tmpfs_limit_kib() {
  _wanted=$(setting rootSize)
  if [ -n "$_wanted" ]; then
    size_kib "$_wanted"
    return
  fi
  _half=$(($(memory_kib MemTotal) / 2))
  _least=$(($1 + $1 / 8 + 65536))
  if [ "$_half" -gt "$_least" ]; then
    echo "$_half"
  else
    echo "$_least"
  fi
}

# check_memory TAKEN LIMIT: says the figures when the copy cannot fit. While it is made, the root is there twice.
check_memory() {
  _available=$(memory_kib MemAvailable)
  _needed=$(($1 + $1 / 16 + 16384))
  if [ "$_needed" -gt "$_available" ]; then
    fail "the root takes $(mib "$1") and its copy in tmpfs needs $(mib "$_needed"), but of $(mib "$(memory_kib MemTotal)") only $(mib "$_available") are free: use root.kind initramfs, a smaller image or more memory"
    return 1
  fi
  if [ "$1" -gt "$2" ]; then
    fail "the root takes $(mib "$1"), more than root.size allows ($(mib "$2")): raise root.size"
    return 1
  fi
}

# is_copied PATH: whether an entry of / goes along.
is_copied() {
  case $1 in
    /. | /.. | "$NEWROOT") return 1 ;;
  esac
  for _mount in $KERNEL_MOUNTS; do
    [ "$1" != "/$_mount" ] || return 1
  done
  [ -e "$1" ] || [ -L "$1" ]
}

# copy_root: owners, modes, times and hard links (hence one command for all), and with GNU cp extended attributes.
copy_root() {
  set --
  for _entry in /* /.[!.]* /..?*; do
    if is_copied "$_entry"; then
      set -- "$@" "$_entry"
    fi
  done
  cp -a -- "$@" "$NEWROOT/" || return 1
  for _mount in $KERNEL_MOUNTS; do
    mkdir -p "$NEWROOT/$_mount" || return 1
  done
}

# make_tmpfs LIMIT_KIB: spread over the memory of all NUMA nodes where the kernel knows of them.
make_tmpfs() {
  mkdir -p "$NEWROOT" || return 1
  mount -t tmpfs -o "size=${1}k,mode=0755,mpol=interleave" muster-root "$NEWROOT" 2>/dev/null ||
    mount -t tmpfs -o "size=${1}k,mode=0755" muster-root "$NEWROOT" || return 1
  mounted "$NEWROOT"
}

# move_mounts FROM TO: as paths before the slash, so that / is empty.
move_mounts() {
  for _mount in $KERNEL_MOUNTS; do
    mount --move "$1/$_mount" "$2/$_mount" || return 1
  done
}

# drop_root: takes back whatever prepare_tmpfs and move_mounts got done.
drop_root() {
  cd / || :
  [ -e /proc/mounts ] || mount --move "$NEWROOT/proc" /proc
  for _mount in $KERNEL_MOUNTS; do
    if mounted "$NEWROOT/$_mount"; then
      mount --move "$NEWROOT/$_mount" "/$_mount"
    fi
  done
  if mounted "$NEWROOT"; then
    umount "$NEWROOT" || umount -l "$NEWROOT"
  fi
  [ ! -d "$NEWROOT" ] || rmdir "$NEWROOT"
}

# prepare_tmpfs: /newroot is ready to be switched to.
prepare_tmpfs() {
  # switch_root ends process 1 when it refuses, so what it looks at is looked at here.
  if ! have switch_root; then
    fail 'no switch_root in this image (package util-linux or busybox): use root.kind initramfs'
    return 1
  fi
  _taken=$(tree_kib)
  if ! _limit=$(tmpfs_limit_kib "$_taken"); then
    fail "root.size is neither a size nor a percentage: $(setting rootSize)"
    return 1
  fi
  check_memory "$_taken" "$_limit" || return 1
  if ! make_tmpfs "$_limit"; then
    fail "cannot mount a tmpfs of $(mib "$_limit") on $NEWROOT"
    return 1
  fi
  say "root: copying $(mib "$_taken") into a tmpfs of $(mib "$_limit")"
  if ! copy_root; then
    fail 'cannot copy the root into the tmpfs: see the lines above'
    return 1
  fi
  if [ ! -x "$NEWROOT$MUSTER/finish" ] || [ ! -f /init ]; then
    fail "the copied root has no $MUSTER/finish"
    return 1
  fi
}

# switch_to PROGRAM ARGUMENT…: returns only when it failed before the point of no return.
switch_to() {
  if ! move_mounts '' "$NEWROOT"; then
    fail "cannot move /proc, /sys, /dev and /run into $NEWROOT"
    return 1
  fi
  # /dev went along, so the console stays open. util-linux knows no -c, which busybox has for those who lose it.
  exec switch_root "$NEWROOT" "$@" || fail 'switch_root cannot be executed'
  return 1
}
