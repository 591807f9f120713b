#!/bin/bash
# Five folds side by side under SLURM, then the report.
#
# Set: partition, GPU, CPUs, memory and time below, and where Python, the dataset (by `tfds build`
# as in BUILD.md) and the workdir are; the workdir is on storage that all nodes share. A time limit
# shorter than a fold takes is fine: it saves a minute before, and is queued again.
#
# Submit, and have the report written when all folds are done:
#
#   folds=$(sbatch --parsable slurm.sh)
#   sbatch --dependency=afterok:$folds --kill-on-invalid-dep=yes --job-name=dftk-merge \
#     --wrap='python -m dftk.train --merge --workdir=runs/rvf10k'
#
# Save and queue again by hand: `scancel --signal=TERM JOBID_FOLD`. If a fold failed, submit again:
# what is trained stays.

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

# One task of the array a fold, by SLURM_ARRAY_TASK_ID. Under srun it is a step of the job, and
# --signal goes to steps only.
srun python -m dftk.train --fold=job --dataset=rvf10k --workdir=runs/rvf10k --mixed_precision
status=$?
if [ "$status" -eq 75 ]; then # told to stop, and saved
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
