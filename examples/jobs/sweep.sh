#!/bin/sh
#HOIST --image hoist/hello --name sweep
#HOIST --array 1-4%2 --time 5m
echo "run $HOIST_ARRAY_INDEX of job $HOIST_JOB_ID"
