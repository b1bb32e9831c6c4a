# Settings: what the head node decided for this boot. The file holds data from people, so it is read and never sourced:
# only the keys that these scripts ask for are looked at, and a value is never evaluated.

MUSTER=${MUSTER:-/muster}
MUSTER_RUN=${MUSTER_RUN:-/run/muster}

# setting KEY: the value of the first line KEY=VALUE, as it stands there; nothing when there is none.
setting() {
  [ -r "$MUSTER/config" ] || return 0
  while IFS= read -r _line || [ -n "$_line" ]; do
    case $_line in
      "$1="*)
        printf '%s\n' "${_line#*=}"
        return 0
        ;;
    esac
  done <"$MUSTER/config"
  return 0
}

# kernel_argument NAME: the value of NAME=VALUE on the kernel's command line; nothing when there is none.
kernel_argument() {
  set -f
  # The command line is words, so it is split into words; a quoted one with spaces is none of ours.
  # shellcheck disable=SC2013
  for _word in $(cat "${MUSTER_CMDLINE:-/proc/cmdline}"); do
    case $_word in
      "$1="*)
        printf '%s\n' "${_word#*=}"
        break
        ;;
    esac
  done
  set +f
}
