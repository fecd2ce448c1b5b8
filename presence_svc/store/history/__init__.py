"""History: reads the closed minutes, quarters and days that sweep.lua writes."""
