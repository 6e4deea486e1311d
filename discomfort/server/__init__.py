"""An owned server's process: started, watched and ended."""
