# Functions of the SLURM scripts in this folder.

# Return the exit code of a process of this shell. A signal ends `wait` early, with its own code, so ask twice.
await() {
    local code again
    wait "$1"
    again=$?
    while
        code=$again
        wait "$1"
        again=$?
        [ "$again" -ne "$code" ] && [ "$again" -ne 127 ]
    do :; done
    return "$code"
}

# Run a command that stops and saves on SIGTERM. When SLURM announces the end of the job's time by SIGUSR1
# (--signal=B:USR1@300), stop it and put the job back into the queue, where the same script resumes.
run_or_requeue() {
    local pid code time_is_over=""
    trap 'time_is_over=yes; kill -TERM "$pid"' USR1
    "$@" &
    pid=$!
    await "$pid"
    code=$?
    trap - USR1
    if [ -n "$time_is_over" ]; then
        scontrol requeue "$SLURM_JOB_ID"
    fi
    return "$code"
}
