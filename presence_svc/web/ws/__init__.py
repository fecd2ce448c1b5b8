"""WebSocket sessions: present while the socket is open."""
