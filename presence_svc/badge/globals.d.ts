declare global {
  interface HTMLElementTagNameMap {
    "live-viewer-badge": LiveViewerBadge;
  }
  interface HTMLElementEventMap {
    "presence-change": CustomEvent<Count>;
    "presence-error": CustomEvent<{ message: string; error: Error }>;
  }
}
