#!/bin/bash
# Five folds side by side under SLURM, then the report.
#
# Set: partition, GPU, CPUs, memory and time below, and the paths of Python, the dataset (built by
# `tfds build` as in BUILD.md) and the workdir, which is on storage that all nodes share. The time
# limit may be shorter than a fold takes: a task saves its state a minute before the limit, and is
# queued again.
#
# Submit, and write the report when all folds are finished:
#
#   folds=$(sbatch --parsable slurm.sh)
#   sbatch --dependency=afterok:$folds --kill-on-invalid-dep=yes --job-name=dftk-merge \
#     --wrap='python -m dftk.train --merge --workdir=runs/rvf10k'
#
# To save and queue again by hand: `scancel --signal=TERM JOBID_FOLD`. If a fold failed, submit
# again: finished folds are not trained again.

#SBATCH --job-name=dftk
#SBATCH --array=0-4
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=dftk-%A_%a.log

# Each task of the array trains the fold of its SLURM_ARRAY_TASK_ID. srun makes it a step of the
# job, because --signal goes to steps only.
srun python -m dftk.train --fold=job --dataset=rvf10k --workdir=runs/rvf10k --mixed_precision
status=$?
if [ "$status" -eq 75 ]; then # stopped by a signal, state saved
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
