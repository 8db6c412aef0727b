/* An operator at work during a run; each call is one person's errand and takes virtual time. */
#ifndef NERO_TESTS_SIM_OPERATOR_H
#define NERO_TESTS_SIM_OPERATOR_H

/* One of: pause, limit, drain a runner, let all give their jobs back, checkpoints now; what lasts
 * is taken back in the end. */
void sim_operator_act(const char *run);

/* `retry`, time and again: jobs that were given up before their generation was decided. */
void sim_operator_retry(const char *run);

/* `cancel`, and a while later somebody resumes the run. */
void sim_operator_cancel(const char *run);

#endif
