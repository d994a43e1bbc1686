#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Signals that say that this process itself went wrong, or that it must take as they come.
static const int own_signals[] = {
	SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU,
};

// child runs the command, in a group of its own that has the terminal, if there is one.
static void child(char **command, const sigset_t *before)
{
	setpgid(0, 0);
	if (isatty(STDIN_FILENO)) {
		signal(SIGTTOU, SIG_IGN); // else asking for the terminal stops us
		tcsetpgrp(STDIN_FILENO, getpgrp());
		signal(SIGTTOU, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, before, NULL);
	execvp(command[0], command);
	int code = errno == ENOENT ? 127 : 126;
	dprintf(STDERR_FILENO, "%s: %s\n", command[0], strerror(errno));
	_exit(code);
}

// reap collects all that has ended, and returns the code to end with once the task's process
// is among it; else -1.
static int reap(pid_t task)
{
	int code = -1, status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != task)
			continue;
		code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return code;
}

static void run(char **command)
{
	sigset_t all, before;
	sigfillset(&all);
	for (size_t i = 0; i < sizeof(own_signals) / sizeof(own_signals[0]); i++)
		sigdelset(&all, own_signals[i]);
	sigprocmask(SIG_SETMASK, &all, &before);
	prctl(PR_SET_CHILD_SUBREAPER, 1); // where another process is the first
	pid_t task = fork();
	if (task < 0) {
		dprintf(STDERR_FILENO, "fork: %s\n", strerror(errno));
		_exit(126);
	}
	if (task == 0)
		child(command, &before);
	for (;;) {
		int got = sigwaitinfo(&all, NULL);
		if (got == SIGCHLD) {
			int code = reap(task);
			if (code >= 0)
				_exit(code);
		} else if (got > 0) {
			kill(task, got);
		}
	}
}

// start runs before anything of Go does, in every program that has this package.
__attribute__((constructor(101))) static void start(int argc, char **argv)
{
	if (argc < 1 || argv[0] == NULL)
		return;
	const char *name = strrchr(argv[0], '/');
	if (strcmp(name ? name + 1 : argv[0], "nomadish-init") != 0)
		return;
	if (argc < 3 || strcmp(argv[1], "--") != 0) {
		dprintf(STDERR_FILENO, "usage: nomadish-init -- COMMAND [ARGUMENT]…\n");
		_exit(2);
	}
	run(argv + 2);
}
