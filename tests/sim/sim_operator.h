/* A person at work during a simulated run: pause, limit, drain, checkpoint now. */
#ifndef NERO_TESTS_SIM_OPERATOR_H
#define NERO_TESTS_SIM_OPERATOR_H

/* Give one order, drawn from the seed; what holds a run up is taken back, and looked after until
 * nothing goes wrong any more. In a fiber of its own; it may take long. */
void sim_operator_act(const char *run);

#endif
