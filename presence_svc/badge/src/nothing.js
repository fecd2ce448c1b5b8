/** What `import "live-viewer-badge/jsx"` and its like load: they are about types alone. */

export {};
