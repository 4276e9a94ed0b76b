#!/bin/sh
# The job: copies the program into the job's own folder, then configures, compiles and tests it.
#
# A runner gets a command, not files: SOURCE says where the program is, and the runner must be able
# to read that folder. On another machine the copy would be a `git clone`.
set -eu
cp -R "$SOURCE" source

cmake -S source -B build -G Ninja
cmake --build build
ctest --test-dir build --output-on-failure
build/words --top 3 source/rhyme.txt
