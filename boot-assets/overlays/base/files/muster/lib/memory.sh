# Memory: figures in KiB.

# memory_kib FIELD: a field of /proc/meminfo, such as MemAvailable.
memory_kib() {
  while read -r _field _kib _; do
    if [ "$_field" = "$1:" ]; then
      echo "$_kib"
      return
    fi
  done </proc/meminfo
  echo 0
}

# tree_kib: what the root file system takes. A ramfs does not count its blocks, so there the files are added up.
tree_kib() {
  _taken=$(du -skx / 2>/dev/null)
  _taken=${_taken%%[!0-9]*}
  if [ "${_taken:-0}" -ge 1024 ]; then
    echo "$_taken"
    return
  fi
  find / -xdev -type f -exec stat -c %s '{}' + | {
    _pages=0
    while read -r _size; do
      _pages=$((_pages + (_size + 4095) / 4096))
    done
    echo $((_pages * 4))
  }
}

# root_kib COLUMN: of the root file system's own books, 2 its size and 3 what is used; nothing where it keeps none.
root_kib() {
  _row=$(df -Pk / 2>/dev/null | tail -n 1)
  _column=$1
  # shellcheck disable=SC2086 # split into columns
  set -- $_row
  shift $((_column - 1))
  case ${1:-0} in
    0 | *[!0-9]*) ;;
    *) echo "$1" ;;
  esac
}

# used_kib: what the root takes; counted where its file system does not.
used_kib() {
  _used=$(root_kib 3)
  if [ -n "$_used" ]; then
    echo "$_used"
  else
    tree_kib
  fi
}

# size_kib SIZE: 8G, 512M, 64K, bytes, or a percentage of the memory.
size_kib() {
  _number=${1%[KMGT%]}
  case $_number in
    '' | *[!0-9]*) return 1 ;;
  esac
  case $1 in
    *K) echo "$_number" ;;
    *M) echo $((_number * 1024)) ;;
    *G) echo $((_number * 1024 * 1024)) ;;
    *T) echo $((_number * 1024 * 1024 * 1024)) ;;
    *%) echo $(($(memory_kib MemTotal) * _number / 100)) ;;
    *) echo $((_number / 1024)) ;;
  esac
}

# mib KIB: for people.
mib() {
  echo "$(($1 / 1024)) MiB"
}
