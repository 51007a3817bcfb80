#!/usr/bin/env bash
# What dsrna does on a GPU, in parts that can be run one by one: experiments/gpu/run.sh [PART …], see README.md here.
set -u

usage="Usage, from the repository's root: experiments/gpu/run.sh [gradients] [bench] [steps] [search] [compile]"

# --- choices, each by a variable of its name ---
: "${PYTHON:=python3}"
: "${OUT:=runs/gpu}"                     # a folder for the results: at most eight files, none above 16 MiB
: "${SECONDS_IN_ALL:=480}"               # parts that would begin later are left out, the one at work is stopped
: "${IMAGES:=}"                          # a folder that images.py packed; empty: CIFAR-10 is in $DSRNA_DATA
: "${REHEARSE:=}"                        # anything: on the CPU, as small as can be
if [ -n "$REHEARSE" ]; then
  : "${SEARCH:=space=nasbench201 strategy=darts regulariser=[beta_decay] metric=none search.cells=1 search.channels=4 search.batch_size=8 search.epochs=50 search.warmup_epochs=0 data.train_limit=1000 trainer=cpu trainer.threads=1}"
fi
: "${EXPERIMENTS:=cifar10_jacobian cifar10_robust}"
: "${TRAINERS:=auto gpu}"                # of the steps: float32, and mixed bfloat16
: "${SEARCH:=space=nasbench201 strategy=darts regulariser=[beta_decay] regulariser.beta_decay.weight=25 metric=none search.cells=5 search.channels=16 search.batch_size=64 search.epochs=50 search.warmup_epochs=0 trainer=auto}"
: "${SEARCH_FROM:=}"                     # a folder with the search.tar.* of an earlier time, which goes on
: "${GRADIENTS:=}"                       # pytest's choice of the tests, such as --deselect=… of those done before
: "${GRADIENTS_LIMIT:=150}" "${BENCH_LIMIT:=120}" "${STEPS_LIMIT:=120}" "${SEARCH_LIMIT:=480}" "${COMPILE_LIMIT:=240}"

bench=experiments/bench/supernet_step.py
small_bench=()
marked=(-m gpu)
if [ -n "$REHEARSE" ]; then
  device=cpu
  small_bench=(--channels 4 --cells 3 --threads 1)
  bench_steps=(weight)
  most_steps=(weight)
  batches=(2 4)
  rounds=1
  counted=2
  marked=(-k "head or corruptions")
  TRAINERS=cpu
  small_steps=(trainer.threads=1 search.batch_size=8 search.channels=4 search.cells=3 data.train_limit=1000)
else
  device=cuda
  bench_steps=(weight architecture unrolled "jacobian projection" "jacobian class")
  most_steps=(weight architecture "jacobian class") # of the larger batch
  batches=(64 256)
  rounds=2
  counted=30
  small_steps=()
fi

# --- the parts; each returns non-zero when something in it failed ---

gradients() {
  local workers=() choice
  read -ra choice <<<"$GRADIENTS"
  if "$PYTHON" -c "import xdist" 2>/dev/null && [ -z "$REHEARSE" ]; then workers=(-n 4); fi
  # Two threads each: as many as there are cores for each worker would stand in each other's way.
  OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} limited "$PYTHON" -m pytest tests/gpu "${marked[@]}" "${workers[@]}" "${choice[@]}" \
    --tb=short -rpfEs --durations=5 -v -p no:cacheprovider
}

bench() {
  local failed=0 batch
  for batch in "${batches[@]}"; do
    if [ "$batch" != "${batches[0]}" ]; then bench_steps=("${most_steps[@]}"); fi
    benched "batch_$batch" --batch "$batch" --ways published reference batched --steps "${bench_steps[@]}" || failed=1
    benched "batch_${batch}_bf16" --batch "$batch" --ways reference batched --steps weight --bf16 || failed=1
  done
  return "$failed"
}

compile() { # batched edges compiled by torch, which takes minutes
  benched "compiled" --batch "${batches[0]}" --cells 3 --ways batched torch.compile --steps weight architecture
}

benched() {
  local name=$1
  shift
  limited "$PYTHON" "$bench" --device "$device" --rounds "$rounds" "${small_bench[@]}" "$@" --json "$work/bench_$name.json"
}

steps() {
  local failed=0 experiment trainer
  for experiment in $EXPERIMENTS; do
    if [ ! -e "conf/experiment/$experiment.yaml" ]; then
      echo "left out, there is no such experiment: $experiment"
      continue
    fi
    for trainer in $TRAINERS; do
      echo "== $experiment, trainer=$trainer"
      limited "$PYTHON" experiments/gpu/steps.py "+experiment=$experiment" "trainer=$trainer" "data.root=$DSRNA_DATA" \
        "${small_steps[@]}" --steps "$counted" --json "$work/steps_${experiment}_$trainer.json" || failed=1
    done
  done
  return "$failed"
}

search() {
  local status choices
  if [ -n "$SEARCH_FROM" ]; then cat "$SEARCH_FROM"/search.tar.* | tar -xf - -C "$work" || return 1; fi
  read -ra choices <<<"$SEARCH"
  limited "$PYTHON" -m dsrna.search data=cifar10 "data.root=$DSRNA_DATA" "${choices[@]}" \
    'stages=[search]' name=gpu_search resume=auto "out=$work/runs"
  status=$?
  if compgen -G "$work/runs/*/run.json" >/dev/null; then
    rm -f "$OUT"/search.tar.*
    tar -cf - -C "$work" runs | split -b 15M -d - "$OUT/search.tar."
    cat "$work"/runs/*/genotype.json 2>/dev/null
  fi
  return "$status"
}

# --- how they are run ---

limited() { # a command, until the end of the part's time; it may save its state for another 20 seconds
  local left=$((ends - SECONDS))
  if [ "$left" -le 0 ]; then return 124; fi
  timeout -k 20 "$left" "$@"
}

unpacked_images() {
  if [ -z "${DSRNA_DATA:-}" ] || [ -n "$IMAGES" ]; then export DSRNA_DATA=$work/data; fi
  if [ -z "$IMAGES" ] || [ -e "$DSRNA_DATA/cifar10.npz" ]; then return; fi
  "$PYTHON" experiments/gpu/images.py unpack "$IMAGES" "$DSRNA_DATA"
}

part() { # name, seconds
  local name=$1 status began=$SECONDS word
  ends=$((SECONDS + $2 < SECONDS_IN_ALL ? SECONDS + $2 : SECONDS_IN_ALL))
  echo "=== $name, $((ends - SECONDS)) s at most"
  "$name" 2>&1 | tee "$OUT/$name.txt"
  status=${PIPESTATUS[0]}
  case $status in
    0) word=passed ;;
    124 | 137 | 143) word="ran out of time" ;;
    *) word="failed ($status)" ;;
  esac
  if [ "$word" != passed ] && [ "$SECONDS" -ge "$ends" ]; then word="ran out of time"; fi
  echo "$name: $word, $((SECONDS - began)) s" | tee -a "$OUT/summary.txt"
  "$PYTHON" - "$work" "$OUT/results.json" <<'PY'
import json, pathlib, sys
folder, file = map(pathlib.Path, sys.argv[1:])
known = json.loads(file.read_text()) if file.exists() else {}
file.write_text(json.dumps(known | {each.stem: json.loads(each.read_text()) for each in sorted(folder.glob("*.json"))}))
PY
}

if [ ! -e dsrna/__init__.py ]; then
  echo "$usage" >&2
  exit 2
fi
chosen=("$@")
if [ "$#" -eq 0 ]; then chosen=(gradients bench steps search); fi
for name in "${chosen[@]}"; do
  case $name in
    gradients | bench | steps | search | compile) ;;
    *)
      echo "There is no part \`$name\`. $usage" >&2
      exit 2
      ;;
  esac
done

if [ -z "$REHEARSE" ] && ! "$PYTHON" -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
  echo "Expected a GPU that $PYTHON's torch can use, found none. REHEARSE=1 tries the parts on the CPU." >&2
  exit 2
fi

mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONUNBUFFERED=1 GIT_PYTHON_REFRESH=quiet PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
{
  date -u
  "$PYTHON" -c "import sys, torch; print('Python', sys.version.split()[0], 'torch', torch.__version__, \
torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU')"
} 2>&1 | tee -a "$OUT/summary.txt"
case " ${chosen[*]} " in *" steps "* | *" search "*) unpacked_images ;; esac

for name in "${chosen[@]}"; do
  if [ "$SECONDS" -ge "$SECONDS_IN_ALL" ]; then
    echo "$name: left out, no time was left" | tee -a "$OUT/summary.txt"
    continue
  fi
  case $name in
    gradients) part gradients "$GRADIENTS_LIMIT" ;;
    bench) part bench "$BENCH_LIMIT" ;;
    steps) part steps "$STEPS_LIMIT" ;;
    search) part search "$SEARCH_LIMIT" ;;
    compile) part compile "$COMPILE_LIMIT" ;;
  esac
done
echo "=== in all $SECONDS s"
cat "$OUT/summary.txt"
