"""Limits that the pipeline and the command line share; imports nothing."""

# "At most 25k examples per dataset" (Wei et al. 2023, section 3.3). In a mixture it
# bounds a task's weight; which rows there are is decided where the data is made.
MAX_EXAMPLES_PER_TASK = 25_000

# Share of the shorter text's words, in runs that both texts have, from which on they
# count as the same: SST-2 and SUBJ cut the same sentences in other ways, and half of
# the words finds them.
DEFAULT_OVERLAP = 0.5
