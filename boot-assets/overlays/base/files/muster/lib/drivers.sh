# Drivers: what the kernel found and has no driver for yet names its module itself (its modalias).

# modaliases: one a line, each once.
modaliases() {
  find /sys/devices -name modalias -exec cat '{}' + 2>/dev/null | sort -u
}

# load_modules ALIASES: one a line. An alias that no module answers to is the usual case and no fault.
load_modules() (
  set -f
  IFS='
'
  # shellcheck disable=SC2086 # one word a line
  bounded 30 modprobe -q -a -- $1 2>/dev/null
)

# load_drivers: walks the modaliases until no new ones appear, because a bus driver (virtio_pci, say) brings new devices
# to light. At most five walks, so that a device that comes and goes cannot hold the boot.
load_drivers() {
  have modprobe && [ -d "/lib/modules/$(uname -r)" ] || return 0
  _known=
  for _walk in 1 2 3 4 5; do
    _aliases=$(modaliases)
    [ "$_aliases" != "$_known" ] || return 0
    _known=$_aliases
    load_modules "$_aliases"
    # Devices appear a moment after their driver.
    sleep 0.3 2>/dev/null || sleep 1
  done
}
