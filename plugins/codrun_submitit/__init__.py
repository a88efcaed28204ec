"""Cells as Slurm jobs, through submitit; on a machine without Slurm as processes of submitit's own."""
