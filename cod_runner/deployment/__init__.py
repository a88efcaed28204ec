"""What happens to a student after its run: it is opened, asked, chosen, timed, exported, described and handed on."""
