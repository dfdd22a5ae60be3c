#!/usr/bin/env node
"use strict";
require("./launch.cjs").launch("lcow", "cli/main.js", [], {});
