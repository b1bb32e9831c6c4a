CREATE TABLE `attempts` (
	`id` text PRIMARY KEY NOT NULL,
	`node` text NOT NULL,
	`mac` text NOT NULL,
	`address` text,
	`started_at` integer NOT NULL,
	`plan` text NOT NULL,
	`ticket_hash` text,
	`ticket_used_at` integer
);
--> statement-breakpoint
CREATE INDEX `attempts_node` ON `attempts` (`node`,`started_at`);--> statement-breakpoint
CREATE INDEX `attempts_ticket` ON `attempts` (`ticket_hash`);--> statement-breakpoint
CREATE TABLE `events` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`attempt` text NOT NULL,
	`at` integer NOT NULL,
	`kind` text NOT NULL,
	`detail` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `events_attempt` ON `events` (`attempt`,`id`);--> statement-breakpoint
CREATE TABLE `machines` (
	`mac` text PRIMARY KEY NOT NULL,
	`facts` text NOT NULL,
	`address` text,
	`first_seen_at` integer NOT NULL,
	`last_seen_at` integer NOT NULL,
	`requests` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `machines_seen` ON `machines` (`last_seen_at`);