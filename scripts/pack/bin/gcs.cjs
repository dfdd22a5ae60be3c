#!/usr/bin/env node
"use strict";
// As in the image: little memory.
require("./launch.cjs").launch("gcs", "gcs/main.js", ["--max-semi-space-size=1"], { MALLOC_ARENA_MAX: "1" });
