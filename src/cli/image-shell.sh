#!/bin/sh
# image-shell.sh DIRECTORY [ro|rw SOURCE POINT]… -- COMMAND ARGUMENT…
#
# Process 1 of fresh mount, PID, UTS and IPC namespaces: mounts the tree of an image for writing, and runs a command in
# it. DIRECTORY has `image` (the unpacked version), `points` (mount points that the version lacks), `upper` and `work`
# (what is changed) and `root` (where all of it is mounted). A POINT is a path in the tree without symbolic links: who
# calls has resolved it, before any program of the image ran.
#
# File descriptor 3 is a socket to the caller. It hears `ready`, and `hook PATH` before the image's own hook is run; its
# end means that the caller is gone, and then everything ends. Descriptor 4 is the lock of DIRECTORY, held as long as this
# lives. The exit status is that of the command, or of the hook.
set -eu

# What a program may use of the terminal and of its language; all else of the environment stays outside.
: "${TERM=dumb}" "${MUSTER_IMAGE:?}"
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

cd "$1"
shift
umask 022

# Options that keep every change whole in `upper`, so that it can be read without the mount
# (Documentation/filesystems/overlayfs.rst). The image comes before the points: those show only where it has nothing.
mount -t overlay -o lowerdir=image:points,upperdir=upper,workdir=work,redirect_dir=nofollow,metacopy=off,index=off,xino=off overlay root

# read_only POINT: shows what is there, and lets nobody write to it.
read_only() {
  mount --bind "root/$1" "root/$1"
  mount -o remount,bind,ro "root/$1"
}

# The kernel is the head node's: what a package's script sets there (sysctl, sysrq) is not meant for it.
mount -t proc -o nosuid,nodev,noexec proc root/proc
for part in sys sysrq-trigger irq bus; do
  [ ! -e "root/proc/$part" ] || read_only "proc/$part"
done
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs root/sys
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs root/run
mkdir -m 1777 root/run/lock

# A few devices instead of the head node's.
mount -t tmpfs -o mode=0755,nosuid,noexec,size=1m tmpfs root/dev
mknod -m 0666 root/dev/null c 1 3
mknod -m 0666 root/dev/zero c 1 5
mknod -m 0666 root/dev/full c 1 7
mknod -m 0666 root/dev/random c 1 8
mknod -m 0666 root/dev/urandom c 1 9
mknod -m 0666 root/dev/tty c 5 0
mkdir root/dev/pts root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5,nosuid,noexec devpts root/dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs root/dev/shm
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
ln -s /proc/self/fd/0 root/dev/stdin
ln -s /proc/self/fd/1 root/dev/stdout
ln -s /proc/self/fd/2 root/dev/stderr
# So that ttyname(3) finds a name for the terminal.
if terminal=$(tty); then
  : >root/dev/console
  mount --bind "$terminal" root/dev/console
fi

# bind ro|rw SOURCE POINT: below /run and /dev the mount point is made here, in what is gone afterwards.
bind() {
  case $3 in
    run/* | dev/*)
      if [ -d "$2" ]; then
        mkdir -p "root/$3"
      else
        mkdir -p "root/${3%/*}"
        : >"root/$3"
      fi
      ;;
  esac
  mount --bind "$2" "root/$3"
  [ "$1" = rw ] || mount -o remount,bind,ro "root/$3"
}
while [ "$1" != -- ]; do
  bind "$1" "$2" "$3"
  shift 3
done
shift

# end_with_caller: first as a terminal and a shutdown end programs, then for good. `-1` is everybody here but process 1.
end_with_caller() {
  read -r _ <&3 || :
  kill -HUP -1 2>/dev/null || :
  kill -TERM -1 2>/dev/null || :
  sleep 5
  kill -KILL -1 2>/dev/null || :
}
end_with_caller &

# Signals of the terminal are the command's; process 1 waits for it.
trap : HUP INT QUIT TERM

# inside COMMAND ARGUMENT…: nothing that it does shall load modules, set the clock or reboot. Debian's bash.bashrc makes a
# prompt of its own, which shows debian_chroot.
inside() {
  env -i "PATH=$PATH" HOME=/root "TERM=$TERM" "MUSTER_IMAGE=$MUSTER_IMAGE" HISTFILE=/dev/null \
    "PS1=[$MUSTER_IMAGE] \\w\\\$ " "debian_chroot=$MUSTER_IMAGE" \
    setpriv --bounding-set=-sys_module,-sys_rawio,-sys_boot,-sys_time --inh-caps=-sys_module,-sys_rawio,-sys_boot,-sys_time \
    chroot root "$@" 2>&5 3<&- 4<&- 5>&-
}

echo ready >&3
# That a signal ended the command is for the caller to say.
exec 5>&2 2>/dev/null
status=0
inside "$@" || status=$?
[ "$status" -eq 0 ] || exit "$status"

# As after a shell or a command of Warewulf, whose names for the hook count too; only when there is something to clean.
[ -n "$(ls -A upper)" ] || exit 0
for hook in /etc/muster/on-exit /etc/warewulf/image_exit.sh /etc/warewulf/container_exit.sh; do
  if [ ! -f "root$hook" ] || [ ! -x "root$hook" ]; then
    continue
  fi
  echo "hook $hook" >&3
  inside "$hook" || exit
  break
done
