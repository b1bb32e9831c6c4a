# Messages: one line each, on the console and in the kernel's log.

# say TEXT…
say() {
  echo "muster: $*"
  # Priority 7 (debug): the kernel keeps the line, but does not print it on the console a second time.
  if [ -w /dev/kmsg ] && [ $$ -eq 1 ]; then
    echo "<7>muster: $*" 2>/dev/null >/dev/kmsg
  fi
  return 0
}

# warn TEXT…: something that an admin should mend, although the boot goes on.
warn() {
  say "warning: $*"
}
