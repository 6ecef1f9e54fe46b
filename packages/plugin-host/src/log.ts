/** Where plugins, scripts and the machinery around them report. Levels as plugins know them (PLOG_*). */
export type LogLevel = 'error' | 'warn' | 'note' | 'debug';

export type Log = (level: LogLevel, text: string) => void;
