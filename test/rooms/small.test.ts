/** The tests of the rooms that need little, all in one process. */
import { runSmallRooms } from "../support/together.ts";

await runSmallRooms();
