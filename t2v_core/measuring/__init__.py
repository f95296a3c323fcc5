"""Every method of judging which expert suits a task, run on a bank's own tasks and experts, with its cost."""
