"""What a process can be. Each role is a loop over contracts; nothing here knows a library."""
