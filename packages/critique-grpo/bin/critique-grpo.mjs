#!/usr/bin/env node
// A committed file, so that npm links an executable before anything has been compiled.
import "../dist/cli/main.js";
