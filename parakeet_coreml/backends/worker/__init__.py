"""The process that holds a backend: started by `client`, answering from `server`."""
