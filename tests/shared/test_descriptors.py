"""Programs that close files that are not theirs, or have no file descriptor left; threads whose files stay open."""

import pytest

PROGRAM = "shared/descriptors.py"


@pytest.mark.parametrize("named", [True, False])
def test_the_living_keep_their_blocks(run_program, pool_names, named):
    """A program that closes all files does not take living processes for dead, and sees which ones do die.

    Its pool's descriptor has the number of another file meanwhile; that file stays open.
    """
    run_program(PROGRAM, "recover_the_dead_only", pool_names() if named else "")


def test_nobody_is_taken_for_dead_when_that_cannot_be_known(run_program):
    """While no process has a pool's file open, recover is an OSError that says so, and every block stays held."""
    run_program(PROGRAM, "recover_where_nothing_is_known")


@pytest.mark.parametrize("named", [True, False])
def test_without_descriptors(run_program, pool_names, named):
    """A call that needs a file descriptor when none is free is an OSError that says so, and changes nothing."""
    run_program(PROGRAM, "run_out", pool_names() if named else "")


def test_the_first_answer_without_descriptors(run_program):
    """A pool's first answer imports a module; without a free descriptor for that it is an OSError, and works later."""
    run_program(PROGRAM, "import_the_answers")


def test_nothing_is_done_when_it_could_not_be_told(run_program):
    """When the module of the answers cannot be imported, recover changes nothing, so that a later call can tell."""
    run_program(PROGRAM, "lack_the_answers")


@pytest.mark.parametrize("named", [True, False])
def test_receiving_without_descriptors(run_program, pool_names, named):
    """Redeeming a ticket without a free descriptor is an OSError that says so, and the same ticket is good later."""
    run_program(PROGRAM, "receive", pool_names() if named else "")


def test_a_mapping_that_does_not_fit(run_program):
    """The error for a pool that exceeds the limit of address space names that limit; a smaller pool can be made."""
    run_program(PROGRAM, "limit_address_space")


def test_files_of_other_threads_stay_open(run_program, pool_names):
    """Making, attaching, looking at and closing pools never closes a file that another thread opened."""
    run_program(PROGRAM, "use_files_in_a_thread", pool_names(), pool_names(), timeout=300)


@pytest.mark.parametrize("named", [True, False])
def test_a_program_without_standard_streams(run_program, pool_names, named):
    """With stdin, stdout and stderr closed, no pool takes their numbers, so what is written there harms none."""
    run_program(PROGRAM, "close_the_streams", *((pool_names(), pool_names()) if named else ("", "")))
