#!/bin/bash
# Runs what the emulating machine writes to the second serial port, each command a line of base64, and
# answers with what the command printed and a line with its exit code.
exec 3<>/dev/ttyS1
stty raw -echo <&3
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
echo "shell: up" >&3
while IFS= read -r line <&3; do
	base64 -d <<<"$line" >/run/command
	bash /run/command </dev/null >/run/answer 2>&1
	code=$?
	cat /run/answer >&3
	printf '\nshell: %d\n' $code >&3
done
