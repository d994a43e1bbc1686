// Package browser tests from a real browser what pages can do: make browser runs it, with
// Chromium.
package browser
