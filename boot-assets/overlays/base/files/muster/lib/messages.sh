# Messages: one line each, on the console and in the kernel's log.

# say TEXT…: not by echo, which in dash takes the backslashes of a unit's name for escapes.
say() {
  printf 'muster: %s\n' "$*"
  # Priority 7 (debug): the kernel keeps the line, but does not print it on the console a second time.
  if [ -w /dev/kmsg ] && [ $$ -eq 1 ]; then
    printf '<7>muster: %s\n' "$*" 2>/dev/null >/dev/kmsg
  fi
  return 0
}

# warn TEXT…: something that an admin should mend, although the boot goes on.
warn() {
  say "warning: $*"
}
